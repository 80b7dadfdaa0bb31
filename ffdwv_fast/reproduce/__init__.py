"""The paper's tables and figures, and the controls that they lack."""
