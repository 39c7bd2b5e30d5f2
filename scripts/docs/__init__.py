"""The generated pages of the documentation: each module makes some of them from the program itself."""
