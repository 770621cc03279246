// swift-tools-version: 6.2

import PackageDescription

/// Every target is held to the same rules: Swift 6 mode, no warning survives, and the upcoming
/// features that make imports and isolation explicit.
let strict: [SwiftSetting] = [
    .swiftLanguageMode(.v6),
    .treatAllWarnings(as: .error),
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("InternalImportsByDefault"),
    .enableUpcomingFeature("MemberImportVisibility"),
    .enableUpcomingFeature("NonisolatedNonsendingByDefault"),
    .enableUpcomingFeature("InferIsolatedConformances"),
    .enableUpcomingFeature("ImmutableWeakCaptures"),
]

/// In a debug build, in which all tests run, every access to a class's property asks whether another is under way. In a
/// release the 27 questions of a call would be a tenth of its instructions.
let unchecked: [SwiftSetting] = [
    .unsafeFlags(["-enforce-exclusivity=unchecked"], .when(configuration: .release))
]

let package = Package(
    name: "supervisor",
    products: [
        .executable(name: "supervisor", targets: ["Supervisor"]),
        .executable(name: "worker", targets: ["Worker"]),
    ],
    targets: [
        .target(name: "Protocol", swiftSettings: strict),
        .target(name: "CLinux", path: "Sources/Supervisor/CLinux"),
        // Worker is a dependency only so that `swift run supervisor` builds both programs:
        // nothing of it is linked into the supervisor.
        .executableTarget(
            name: "Supervisor",
            dependencies: ["Protocol", "CLinux", "Worker"],
            exclude: ["CLinux"],
            swiftSettings: strict + unchecked
        ),
        .executableTarget(name: "Worker", dependencies: ["Protocol"], swiftSettings: strict),
        .testTarget(name: "ProtocolTests", dependencies: ["Protocol"], swiftSettings: strict),
        .testTarget(
            name: "SupervisorTests",
            dependencies: ["Supervisor", "Protocol", "CLinux"],
            swiftSettings: strict
        ),
        .testTarget(name: "WorkerTests", dependencies: ["Worker", "Protocol"], swiftSettings: strict),
        .testTarget(
            name: "SimulationTests", dependencies: ["Supervisor", "Protocol"], swiftSettings: strict),
        // A worker for the tests: a dependency of theirs only so that it is built beside them.
        .executableTarget(
            name: "FixtureWorker", dependencies: ["Protocol"],
            path: "Tests/IntegrationTests/Fixtures/FixtureWorker", swiftSettings: strict),
        .testTarget(
            name: "IntegrationTests",
            dependencies: ["Supervisor", "Protocol", "CLinux", "FixtureWorker"],
            exclude: ["Fixtures"],
            swiftSettings: strict
        ),
    ]
)

// All test targets are one program, and take minutes to build in release: who needs some of them names them, as
// `TEST_TARGETS=SimulationTests,ProtocolTests swift test …`.
if let names = Context.environment["TEST_TARGETS"]?.split(separator: ",") {
    package.targets.removeAll { $0.isTest && !names.contains(Substring($0.name)) }
}
