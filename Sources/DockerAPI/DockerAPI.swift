// Placeholder until the first file of DockerAPI lands.
