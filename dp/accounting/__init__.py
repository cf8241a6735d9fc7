"""The privacy cost of releases together: the accountants and the guarantee that they give."""
