"""Published lists of financial sanctions: United Nations, European Union, Belgium."""
