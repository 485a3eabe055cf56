"""Who hears of what, over which channel: rules, the plan they make, the workflows that carry it out."""
