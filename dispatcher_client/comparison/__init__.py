"""What a chain computes, tensor by tensor, against a whole model on this machine; needs a TFLite runtime here."""
