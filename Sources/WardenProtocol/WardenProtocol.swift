// Placeholder until the first file of WardenProtocol lands.
