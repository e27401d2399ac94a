"""`python -m examples.rest_client URL MODEL X.npy`: asks a gateway (`python -m dispatcher_client serve`) over HTTP, in JSON.

Nothing of boardline is imported: whatever speaks HTTP can do the same, from a browser to a microcontroller.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import numpy.typing as npt
import requests

TIMEOUT_S = 30.0
# Datatypes of the Open Inference Protocol that models on boards have.
DTYPES = {
    "FP32": np.float32,
    "INT8": np.int8,
    "UINT8": np.uint8,
    "INT16": np.int16,
    "INT32": np.int32,
    "INT64": np.int64,
    "BOOL": np.bool_,
}


def infer(url: str, model: str, x: npt.NDArray[Any]) -> dict[str, npt.NDArray[Any]]:
    """A model's outputs by name, for the array that is its only input, in that input's shape.

    Raises: requests.RequestException: no server there, no answer in time, or no HTTP.
        ValueError: the model has several inputs, or the gateway refused; with what it said.
    """
    # One connection for all that is asked; each new one would cost a round trip, and more of them with TLS.
    with requests.Session() as session:
        inputs = _ask(session, "GET", f"{url}/v2/models/{model}")["inputs"]
        if len(inputs) != 1:
            raise ValueError(f"{model} has {len(inputs)} inputs, expected one: {', '.join(i['name'] for i in inputs)}")
        (wanted,) = inputs
        x = x.astype(DTYPES[wanted["datatype"]], casting="same_kind")
        given = {"name": wanted["name"], "datatype": wanted["datatype"], "shape": x.shape, "data": x.ravel().tolist()}
        told = _ask(session, "POST", f"{url}/v2/models/{model}/infer", {"inputs": [given]})
    return {y["name"]: np.array(y["data"], DTYPES[y["datatype"]]).reshape(y["shape"]) for y in told["outputs"]}


def _ask(session: requests.Session, method: str, url: str, body: object = None) -> Any:
    told = session.request(method, url, json=body, timeout=TIMEOUT_S)
    if not told.ok:
        raise ValueError(f"{told.status_code}: {told.text}")
    return told.json()


def main(url: str, model: str, array: str) -> None:
    """Prints each output; the reason, with exit status 1, where there is none."""
    try:
        outputs = infer(url, model, np.load(array))
    except (requests.RequestException, TypeError, ValueError) as error:
        sys.exit(str(error))
    for name, y in outputs.items():
        print(f"{name} {y.dtype}{list(y.shape)}: {np.array2string(y, precision=4, threshold=20)}")


if __name__ == "__main__":
    main(*sys.argv[1:])
