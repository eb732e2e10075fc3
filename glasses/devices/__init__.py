"""Devices that hear and see: microphone, speaker, camera, the link to the glasses. They know no gate and no model."""
