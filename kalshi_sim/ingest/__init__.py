"""Ways into the event table: captures and generated sessions."""
