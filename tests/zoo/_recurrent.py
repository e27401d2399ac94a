"""A Keras 3 LSTM layer that TensorFlow's converter recognises and turns into one fused operator."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf


class FusedLSTM(keras.layers.LSTM):
    """An LSTM whose loop becomes UNIDIRECTIONAL_SEQUENCE_LSTM.

    The converter fuses a function that carries the `api_implements` mark with the signature that Keras 2 gave
    its LSTM; Keras 3 dropped the mark, so its own layer always becomes a WHILE loop.
    """

    def call(self, sequences: Any, initial_state: Any = None, mask: Any = None, training: bool = False) -> Any:
        assert initial_state is None and mask is None, "the fused operator starts from zero state"
        marked = tf.function(
            _standard_lstm,
            autograph=False,
            experimental_attributes={
                "api_implements": f"lstm_{self.name}",
                "api_preferred_device": "CPU",
                "go_backwards": False,
                "time_major": False,
            },
        )
        zeros = tf.zeros((tf.shape(sequences)[0], self.units))
        cell = self.cell
        weights = [tf.convert_to_tensor(w) for w in (cell.kernel, cell.recurrent_kernel, cell.bias)]
        last, outputs, *_ = marked(sequences, zeros, zeros, *weights)
        return outputs if self.return_sequences else last


def _standard_lstm(
    sequences: tf.Tensor,
    hidden: tf.Tensor,
    carry: tf.Tensor,
    kernel: tf.Tensor,
    recurrent_kernel: tf.Tensor,
    bias: tf.Tensor,
) -> tuple[tf.Tensor, ...]:
    """Returns what Keras 2's `standard_lstm` returned, in its order: the converter counts on five results."""
    outputs = []
    for step in tf.unstack(sequences, axis=1):
        gates = step @ kernel + hidden @ recurrent_kernel + bias
        admit, forget, fresh, emit = tf.split(gates, 4, axis=1)
        carry = tf.sigmoid(forget) * carry + tf.sigmoid(admit) * tf.tanh(fresh)
        hidden = tf.sigmoid(emit) * tf.tanh(carry)
        outputs.append(hidden)
    return hidden, tf.stack(outputs, axis=1), hidden, carry, tf.constant(1.0, name="runtime")
