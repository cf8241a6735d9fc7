"""The privacy budget as a file that refuses each release that would exceed it."""
