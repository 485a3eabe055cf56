"""The one way in for every face: operations, who may call them, what becomes of a call on the tape."""
