"""Recognises handwritten digits with PyTorch; several workers train one network together."""

import argparse
import os

import torch
import torch.distributed as dist
from model import DigitsNet
from sklearn.datasets import load_digits
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader, TensorDataset
from torch.utils.data.distributed import DistributedSampler

from kaptain_kfp.platform.metadata_util import MetadataUtil
from kaptain_kfp.platform.model_export_util import ModelExportUtil


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--lr", type=float, default=0.05)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--seed", type=int, default=0)
    options, _ = parser.parse_known_args()

    torch.manual_seed(options.seed)
    workers = int(os.environ.get("WORLD_SIZE", "1"))
    rank = int(os.environ.get("RANK", "0"))
    if workers > 1:
        dist.init_process_group("gloo")
        print(f"rank {dist.get_rank()} of {dist.get_world_size()}", flush=True)

    images, digits = load_digits(return_X_y=True)
    data = TensorDataset(
        torch.tensor(images / 16, dtype=torch.float32), torch.tensor(digits, dtype=torch.long)
    )
    sampler = DistributedSampler(data, workers, rank, seed=options.seed)
    batches = DataLoader(data, options.batch_size, sampler=sampler)
    network: nn.Module = DigitsNet()
    if workers > 1:
        network = DistributedDataParallel(network)
    optimizer = torch.optim.SGD(network.parameters(), lr=options.lr, momentum=0.9)

    for epoch in range(options.epochs):
        sampler.set_epoch(epoch)
        total = torch.zeros(2)
        for inputs, labels in batches:
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(network(inputs), labels)
            loss.backward()
            optimizer.step()
            total += torch.tensor([loss.item() * len(labels), len(labels)])
        if workers > 1:
            dist.all_reduce(total)
        MetadataUtil.record_metrics({"loss": (total[0] / total[1]).item()})

    whole = network.module if workers > 1 else network
    torch.save(whole.state_dict(), "model.pt")
    ModelExportUtil().upload_model("model.pt")
    if workers > 1:
        dist.destroy_process_group()


if __name__ == "__main__":
    main()
