"""Tells wines apart by their chemistry: gradient boosted trees on scikit-learn's own data."""

import argparse

import xgboost
from sklearn.datasets import load_wine
from sklearn.model_selection import train_test_split

from kaptain_kfp.platform.metadata_util import MetadataUtil
from kaptain_kfp.platform.model_export_util import ModelExportUtil


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--max-depth", type=int, default=3)
    parser.add_argument("--n-estimators", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    options, _ = parser.parse_known_args()

    wines, kinds = load_wine(return_X_y=True)
    seen, unseen, seen_kinds, unseen_kinds = train_test_split(
        wines, kinds, random_state=options.seed, stratify=kinds
    )
    model = xgboost.XGBClassifier(
        max_depth=options.max_depth, n_estimators=options.n_estimators, seed=options.seed
    )
    model.fit(seen, seen_kinds)
    accuracy = float((model.predict(unseen) == unseen_kinds).mean())

    model.save_model("model.json")
    ModelExportUtil().upload_model("model.json")
    MetadataUtil.record_metrics({"accuracy": accuracy})


if __name__ == "__main__":
    main()
