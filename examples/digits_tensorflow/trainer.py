"""Recognises handwritten digits with Keras; several workers train one network together."""

import argparse
import json
import os

import tensorflow as tf
import tf_keras as keras  # Keras 3 can't train under this strategy
from sklearn.datasets import load_digits

from kaptain_kfp.platform.metadata_util import MetadataUtil
from kaptain_kfp.platform.model_export_util import ModelExportUtil


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--lr", type=float, default=0.05)
    parser.add_argument("--batch-size", type=int, default=64, help="of all workers together")
    parser.add_argument("--seed", type=int, default=0)
    options, _ = parser.parse_known_args()

    workers = json.loads(os.environ.get("TF_CONFIG", "{}")).get("cluster", {})
    # It has to be made before anything else of TensorFlow's runtime.
    strategy = (
        tf.distribute.MultiWorkerMirroredStrategy() if workers else tf.distribute.get_strategy()
    )
    print(f"replicas {strategy.num_replicas_in_sync}", flush=True)
    keras.utils.set_random_seed(options.seed)

    images, digits = load_digits(return_X_y=True)
    data = (
        tf.data.Dataset.from_tensor_slices((images.astype("float32") / 16, digits))
        .shuffle(len(digits), seed=options.seed)
        .batch(options.batch_size, drop_remainder=True)
    )
    sharding = tf.data.Options()
    sharding.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.DATA
    with strategy.scope():
        network = keras.Sequential(
            [
                keras.layers.Input((64,)),
                keras.layers.Dense(64, activation="relu"),
                keras.layers.Dense(10),
            ]
        )
        network.compile(
            optimizer=keras.optimizers.SGD(options.lr, momentum=0.9),
            loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        )
    history = network.fit(data.with_options(sharding), epochs=options.epochs, verbose=0)

    for loss in history.history["loss"]:
        MetadataUtil.record_metrics({"loss": loss})
    # Every worker takes part in saving; only the chief's files are kept.
    folder = f"digits-{os.getpid()}"
    network.save(folder, save_format="tf")
    ModelExportUtil().upload_model(folder)


if __name__ == "__main__":
    main()
