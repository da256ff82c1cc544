"""The training recipe: motion, FRVSR, then TecoGAN, from photographs and clips to a checkpoint with its card."""
