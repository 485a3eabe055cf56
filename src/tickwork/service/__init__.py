"""Commands and queries that every face shares: values in, values out. How they look is a face's business."""
