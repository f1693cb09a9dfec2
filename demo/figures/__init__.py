"""Arrays become pictures. Imports no Gradio."""
