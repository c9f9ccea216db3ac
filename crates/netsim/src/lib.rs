//! A simulated network with virtual time, for tests of sans-IO protocol machines.
