"""Recognises handwritten digits: trains a support vector machine on scikit-learn's own data."""

import argparse

import joblib
from sklearn.datasets import load_digits
from sklearn.metrics import accuracy_score
from sklearn.model_selection import train_test_split
from sklearn.svm import SVC

from kaptain_kfp.platform.metadata_util import MetadataUtil
from kaptain_kfp.platform.model_export_util import ModelExportUtil


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--C", type=float, default=1.0, help="regularisation")
    parser.add_argument("--gamma", type=float, default=0.001, help="width of the kernel")
    parser.add_argument("--test-size", type=float, default=0.25)
    parser.add_argument("--seed", type=int, default=0)
    options, _ = parser.parse_known_args()

    images, digits = load_digits(return_X_y=True)
    seen, unseen, seen_digits, unseen_digits = train_test_split(
        images, digits, test_size=options.test_size, random_state=options.seed
    )
    model = SVC(C=options.C, gamma=options.gamma).fit(seen, seen_digits)
    accuracy = accuracy_score(unseen_digits, model.predict(unseen))

    joblib.dump(model, "model.joblib")
    ModelExportUtil().upload_model("model.joblib")
    MetadataUtil.record_metrics({"accuracy": accuracy})


if __name__ == "__main__":
    main()
