/// What a server allows its clients.
struct ServerLimits: Sendable {
    /// Connections beyond this are closed at once: each costs a descriptor, and the daemon needs some for itself.
    var connections = 4096
    /// A request that has begun must have its whole head within this time; so must what is left of a body that no
    /// handler reads. A connection without a request may stay.
    var headDeadline = Duration.seconds(30)
    /// How long a connection that has been ended waits for the client to end it too.
    var lingerDeadline = Duration.seconds(2)
    /// A TLS client must have shown its certificate and sent something within this time. Until then it is a stranger, and
    /// strangers must not fill the table of connections.
    var helloDeadline = Duration.seconds(10)

    /// Of the metrics' own address, where anybody may come: few connections are as many as scrapers need.
    static var forMetrics: ServerLimits {
        var limits = ServerLimits()
        limits.connections = 64
        return limits
    }
}
