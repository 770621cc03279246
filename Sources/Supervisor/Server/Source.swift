/// What a descriptor in the event loop is.
enum Source {
    case listener(OpenListener.Kind)
    case signals
    case guardian
    case client(ConnectionToken)
    case workerInput(WorkerToken)
    case workerOutput(WorkerToken)
    case workerErrors(WorkerToken)
    case workerExit(WorkerToken)
    case logCompression
}

/// What went wrong, or came to an end, while effects were carried out: told to the core as events of the next
/// step.
enum DeferredEvent {
    case spawned(WorkerToken, pid: Int32)
    case spawnFailed(WorkerToken, reason: String, isShortage: Bool)
    case inputFailed(WorkerToken)
    /// A client takes less than it is sent.
    case outputWaits(ConnectionToken)
    /// It has taken all that waited.
    case outputSent(ConnectionToken)
    case disconnected(ConnectionToken)
}
