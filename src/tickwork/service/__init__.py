"""Commands and queries that every face shares. They take values and give values; how those look is a face's business."""
