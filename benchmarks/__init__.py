"""Measurements that print ratios: each figure beside what it is held against, taken in the same run."""
