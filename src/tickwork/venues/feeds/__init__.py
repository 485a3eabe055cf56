"""Live feeds: one file per outside service, the loop they share, and the recorder of what they say."""
