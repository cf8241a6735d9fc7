"""The privacy budget as a file that refuses what would exceed it."""
