"""Audits of secure means: from the clip of an update to the released mean, with the noise between them."""
