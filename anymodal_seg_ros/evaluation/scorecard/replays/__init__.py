"""Bags, and live topics, through the pipeline: jobs here, in processes or on a cluster."""
