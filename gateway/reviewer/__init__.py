"""What a reviewer takes along: programs that stand alone, import nothing of the gateway, and share no code with it."""
