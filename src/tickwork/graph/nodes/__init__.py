"""The node library: one file for each category. Read them as examples of node types of your own."""
