"""The parts that quantizing stages share: preparing a graph, calibration, and what each layer loses."""
