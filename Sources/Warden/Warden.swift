// Placeholder until the first file of Warden lands.
