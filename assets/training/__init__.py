"""Training of the embedded models: data, teachers, losses and metrics. The program itself does not import it."""
