"""The first page, kept live, and the sheet of readiness."""
