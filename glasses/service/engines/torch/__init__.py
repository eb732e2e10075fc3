"""The backbone in torch, for gradients. Needs the extra `train`."""
