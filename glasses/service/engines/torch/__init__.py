"""The backbone in torch, for gradients: needs the extra `train`."""
