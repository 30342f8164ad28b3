"""Parts of compare_peers.py: cases and their masks, the kernels compared, and how they are checked and timed."""
