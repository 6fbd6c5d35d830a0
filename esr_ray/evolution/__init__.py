"""The evolutionary algorithm over genomes: knows neither devices nor time, neither Ray nor MindSpore."""
