"""The run folder: its journal, and what is made from it. Knows neither Ray nor MindSpore."""
