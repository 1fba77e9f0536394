"""What every type that is sent or stored is made of: models, fields, JSON, times."""
