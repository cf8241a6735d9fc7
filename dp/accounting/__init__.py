"""What releases cost together: the accountants and the guarantee that they give."""
