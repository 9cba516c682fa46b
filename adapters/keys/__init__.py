"""Where the signer's keys lie."""
