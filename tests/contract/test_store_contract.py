"""The contract of stores, met by each of ours; which ones: the fixture `store`."""

from __future__ import annotations

from kaptain_kfp.testing.store_contract import StoreContract


class TestStore(StoreContract):
    pass
