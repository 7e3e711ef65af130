"""What is shown of a build: statistics, the HTML page, the dataset card."""
