"""Results become words, tables and plain JSON; whatever a person typed is escaped here. Imports no Gradio."""
