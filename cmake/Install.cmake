# cmake --install, and a Debian package by CPack (cpack -G DEB).
include(GNUInstallDirs)

install(TARGETS vlmq vlmq-broker vlmq-worker RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
if(TARGET vlmq_cuda) # not in the package: cmake --install build/release --component cuda
  install(TARGETS vlmq_cuda LIBRARY DESTINATION lib/vlmq COMPONENT cuda EXCLUDE_FROM_ALL)
endif()
file(GLOB pages CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/man/*.1)
install(FILES ${pages} DESTINATION ${CMAKE_INSTALL_MANDIR}/man1)
install(FILES deploy/completion/vlmq.bash
  DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions RENAME vlmq)
install(FILES deploy/completion/_vlmq DESTINATION ${CMAKE_INSTALL_DATADIR}/zsh/vendor-completions)
install(DIRECTORY docs/ DESTINATION ${CMAKE_INSTALL_DOCDIR}
  FILES_MATCHING PATTERN "*.md")
install(DIRECTORY proto/schema DESTINATION ${CMAKE_INSTALL_DATADIR}/vlmq
  FILES_MATCHING PATTERN "*.proto")
install(FILES deploy/labels/default.json DESTINATION ${CMAKE_INSTALL_DATADIR}/vlmq/labels)
install(PROGRAMS deploy/examples/read_features.py
  DESTINATION ${CMAKE_INSTALL_DATADIR}/vlmq/examples)

set(CPACK_PACKAGE_NAME vlmq)
set(CPACK_PACKAGE_CONTACT "vlmq maintainers")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY
  "distributed job queue from image URLs to vision-language models")
string(CONCAT CPACK_PACKAGE_DESCRIPTION
  "Broker, workers and client of vlmq: download image lists into WebDataset\n"
  " shards on one machine or a cluster, durably, without Python at run time.")
set(CPACK_GENERATOR DEB)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_SECTION science)
set(CPACK_DEBIAN_PACKAGE_RECOMMENDS "redis-server (>= 5:7.0)")
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_STRIP_FILES ON)
include(CPack)
