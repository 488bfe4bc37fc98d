"""Soft Augmentation for Image Classification (CVPR 2023): the method, and nothing of clusters or trackers."""
