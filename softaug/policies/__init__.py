"""RandAugment and TrivialAugmentWide on whole batches, equal to torchvision's byte for byte."""
