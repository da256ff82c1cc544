"""The training recipe: FRVSR, then TecoGAN, from photographs and clips to a checkpoint with its card."""
