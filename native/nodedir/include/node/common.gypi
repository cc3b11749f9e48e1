# node-gyp takes a "node directory" for the headers and the compiler settings of one Node version, and downloads it where
# there is none. The addon needs neither: it speaks Node-API only, whose headers are the npm package node-api-headers,
# and binding.gyp has all its settings. So this is the whole directory, and one binary serves every Node version.
{
  'target_defaults': {
    'default_configuration': 'Release',
    'configurations': { 'Release': {} },
  },
}
