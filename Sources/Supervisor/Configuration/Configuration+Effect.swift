extension Configuration {
    /// Keys that were set and that this version checks but does not act on. An operator is told at the start:
    /// a limit that is believed in and does not hold is worse than none.
    var keysWithoutEffect: [String] { self.controlSocket == nil ? [] : ["control_socket"] }
}
